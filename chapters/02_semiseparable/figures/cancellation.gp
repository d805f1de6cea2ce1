set xlabel "row i"
set ylabel "relative error"
set logscale y
set format y "10^{%L}"
set xrange [0:2048]
set yrange [1e-8:1e-2]
set xtics 0, 512, 2048
unset key
set label 1 "naive" at 2000, 1.5e-3 right textcolor lt 2
set label 2 "stable" at 2000, 6e-6 right textcolor lt 1
plot data.'/cancellation.dat' using 1:2 with lines lt 2 lw 1.2, '' using 1:3 with lines lt 1 lw 1.2
