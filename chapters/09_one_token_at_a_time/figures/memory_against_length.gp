set logscale xy; set xrange [10:1e6]; set yrange [1e6:2e11]; set key top left samplen 2
set xlabel "tokens so far"; set ylabel "bytes"; set format x "10^{%T}"; set format y "10^{%T}"
layers = 24; attention(t) = layers * 4 * 2 * 768 * t; cache = layers * 4 * (24*64*128 + 1792*4)
plot attention(x) lt 2 title "attention: keys and values", cache lt 1 title "Mamba-2: conv\\_state and ssm\\_state"
