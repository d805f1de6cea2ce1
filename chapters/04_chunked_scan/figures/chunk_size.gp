set logscale x
set logscale y
set xlabel "tokens in a chunk, Q"
set ylabel "milliseconds"
set xrange [1:512]
set xtics (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
set ytics (1, 2, 5, 10, 20, 50, 100, 200)
set key center top
plot data.'/chunk_size.dat' using 1:2 with linespoints lt 1 pt 7 ps 0.5 title "measured", \
     '' using 1:3 with lines lt 1 lw 1.3 dt (4, 4) title "by count"
