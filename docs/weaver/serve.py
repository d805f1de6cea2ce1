"""serve --html DIR --watch DIR... --port PORT -- BUILD...: the book on 127.0.0.1, made again and shown again at each save.

BUILD is the command that makes the pages; it runs when a file below a watched folder has changed. Open pages load themselves anew.
"""
import argparse
import functools
import http.server
import os
import subprocess
import sys
import threading
import time

RELOAD = b"""<script>new EventSource("/changes").onmessage = () => location.reload();</script>
"""
PAUSE = 0.2  # seconds between two looks at the files
SOURCES = (".cpp", ".hpp", ".md", ".json", ".txt", ".gp", ".dot", ".svg", ".css", ".js", ".html", ".py", ".in", ".cmake")


class Pages:
    """Counts how often the pages were made, and lets those who show them wait for the next time."""

    def __init__(self):
        self.count = 0
        self.changed = threading.Condition()

    def made(self):
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def wait(self, seen, seconds):
        with self.changed:
            self.changed.wait_for(lambda: self.count != seen, seconds)
            return self.count


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, pages, **keywords):
        self.pages = pages
        super().__init__(*arguments, **keywords)

    def do_GET(self):
        path = self.translate_path(self.path.split("?")[0].split("#")[0])
        if self.path == "/changes":
            return self.changes()
        if os.path.isdir(path):
            path = os.path.join(path, "index.html")
        if path.endswith(".html") and os.path.isfile(path):
            return self.page(path)
        return super().do_GET()

    def page(self, path):
        with open(path, "rb") as source:
            text = source.read().replace(b"</body>", RELOAD + b"</body>")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def changes(self):
        """A stream of events: one whenever the pages were made again."""
        seen = self.pages.count
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                now = self.pages.wait(seen, 15)
                self.wfile.write(b"data: made\n\n" if now != seen else b": still here\n\n")
                self.wfile.flush()
                seen = now
        except OSError:
            pass  # the page was closed

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        pass


def stamps(folders):
    """When each source below the folders was written last."""
    found = {}
    for folder in folders:
        for place, below, names in os.walk(folder):
            below[:] = [name for name in below if not name.startswith((".", "__"))]
            for name in names:
                if name.endswith(SOURCES) and name != "exercises.cpp":
                    try:
                        found[os.path.join(place, name)] = os.stat(os.path.join(place, name)).st_mtime_ns
                    except FileNotFoundError:
                        pass
    return found


def make(command):
    """Makes the pages; says how long it took, or what is wrong. True if they were made."""
    start = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode == 0:
        print(f"{time.strftime('%H:%M:%S')}  made in {time.monotonic() - start:.1f} s", flush=True)
        return True
    wrong = [line for line in done.stdout.split("\n") if "error" in line.lower() or "FAILED" in line]
    print(f"{time.strftime('%H:%M:%S')}  not made:", *(wrong or done.stdout.split("\n")[-20:])[:20], sep="\n", flush=True)
    return False


def main(given):
    split = given.index("--") if "--" in given else len(given)
    own, build = given[:split], given[split + 1:]
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--html", required=True)
    arguments.add_argument("--watch", nargs="+", required=True)
    arguments.add_argument("--port", type=int, default=8000)
    options = arguments.parse_args(own)
    pages = Pages()
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), functools.partial(Handler, pages=pages, directory=options.html))
    except OSError as problem:
        sys.exit(f"Port {options.port} cannot be had ({problem.strerror}). Another:  ./book serve {options.port + 1}")
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = stamps(options.watch)
    print(f"The book:  http://127.0.0.1:{server.server_address[1]}/   made again at each save. Ctrl-C ends it.", flush=True)
    try:
        while True:
            time.sleep(PAUSE)
            now = stamps(options.watch)
            if now != before:
                before = now
                if make(build):
                    pages.made()
    except KeyboardInterrupt:
        print()
    return 0
