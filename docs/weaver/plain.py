"""Text for places that show no formulas: a terminal, the search."""
import re

SIGNS = dict(alpha="α", beta="β", gamma="γ", delta="δ", Delta="Δ", epsilon="ε", varepsilon="ε", **{"lambda": "λ", "in": "∈"}, mu="μ", sigma="σ",
             Sigma="Σ", tau="τ", theta="θ", phi="φ", omega="ω", cdot="·", times="×", circ="∘", le="≤", ge="≥", infty="∞", top="ᵀ", cdots="...",
             dots="...", ldots="...", sum="Σ", pm="±", approx="≈", to="→", ln="ln", exp="exp")
STEPS = [(r"\\[,;:!]", " "), (r"\\tfrac(\d)(\d)", r"\1/\2"), (r"\\(?:mathrm|mathbf|mathbb|mathcal|boldsymbol|operatorname|text|texttt)\{([^{}]*)\}", r"\1"),
         (r"([_^])\{(\w+)\}", r"\1\2"), (r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)"), (r"\\sqrt\{([^{}]*)\}", r"√(\1)"), (r"\\(?:bar|hat|tilde) ?\{?([A-Za-z])\}?", r"\1_bar"),
         (r"([_^])\{([^{}]*)\}", r"\1(\2)"), (r"\^\\top", "ᵀ"), (r"\\(?:left|right|quad|qquad)\b", " "),
         (r"\\([A-Za-z]+)", lambda m: SIGNS.get(m.group(1), m.group(1))), (r"\\([{}%$_|])", r"\1")]


def plain_tex(tex):
    """A formula as one would type it."""
    for pattern, by in STEPS:
        tex = re.sub(pattern, by, tex)
    return re.sub(r"\s+", " ", tex).strip()


def plain_math(text):
    """Prose with its formulas typed out."""
    return re.sub(r"\$([^$]+)\$", lambda m: plain_tex(m.group(1)), text)
