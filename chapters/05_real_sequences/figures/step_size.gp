set xrange [-5:5]; set yrange [0:5]; set key top left samplen 2
set xlabel "raw number, bias included"; set ylabel "step size Δ"
plot data.'/step_size.dat' using 1:2 with lines lt 1 title "softplus", \
     '' using 1:3 with lines lt 2 title "softplus, then limits 0.5 and 2", \
     x > 0 ? x : NaN with lines lc rgb grey dt 3 lw 2 title "Δ = x"
