set logscale y; set format y "10^{%T}"; set yrange [1e-8:1e-1]; set ytics 10; set xrange [0:320]
set xlabel "position in the text"; set ylabel "relative error of the logits"
set key at graph 0.98, graph 0.62 right
plot data.'/precision.dat' using 1:6 with lines lt 2 title "weights in bfloat16", '' using 1:5 with lines lt 3 title "weights in float16", \
     '' using 1:2 with lines lt 1 title "float32, recurrent", '' using 1:3 with lines lt 4 dt 2 title "float32, quadratic", '' using 1:4 with lines lt 5 dt 3 title "float32, chunked"
