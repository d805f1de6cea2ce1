set logscale xy; set xrange [10:1e6]; set yrange [1e6:2e11]; set key top left samplen 2
set xlabel "tokens so far"; set ylabel "bytes"; set format x "10^{%T}"; set format y "10^{%T}"
attention(layers, t) = layers * 4 * 2 * 768 * t; cache = 24 * 4 * (24*64*128 + 1792*4)
plot attention(24, x) lt 2 title "attention, 24 layers", attention(12, x) lt 2 dt 2 title "attention, 12 layers", \
     cache lt 1 title "Mamba-2, 24 layers"
