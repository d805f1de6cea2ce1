set terminal svg size 640,330 dynamic enhanced font "Helvetica,15" linewidth 1
set xlabel "step size Δ, for A = −1"
set xrange [0:3]
set yrange [0:2]
unset key
set label 1 "new token, Mamba-2: Δ" at 1.62, 1.88 right textcolor lt 3
set label 2 "new token, zero-order hold: 1 − e^{−Δ}" at 2.98, 0.72 right textcolor lt 1
set label 3 "old state, both: e^{−Δ}" at 2.98, 0.26 right textcolor lt 2
plot data.'/gain.dat' using 1:2 with lines lt 1, '' using 1:3 with lines lt 3, '' using 1:4 with lines lt 2 dt (8, 4)
