set logscale x; set xrange [9:1e-3]; set yrange [0:2.2]; set key center right samplen 2
set xlabel "gate, z (open on the left, closed on the right)"; set ylabel "root mean square of the row"
plot data.'/gate_order.dat' using 1:2 with lines lt 1 title "norm(y · silu(z))", '' using 1:3 with lines lt 2 title "norm(y) · silu(z)"
