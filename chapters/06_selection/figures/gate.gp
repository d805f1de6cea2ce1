set xrange [-6:4]; set yrange [0:2]; set samples 300; set key top left samplen 2
set xlabel "raw step size z"; set ylabel "factor"
dt(z) = log(1 + exp(z))
plot exp(-dt(x)) lt 1 title "on the old state, A = −1", \
     exp(-dt(x)/4) lt 1 dt 2 title "A = −1/4", exp(-4*dt(x)) lt 1 dt 3 title "A = −4", \
     1 - exp(-dt(x)) lt 2 title "on the input, zero-order hold", dt(x) lt 3 title "on the input, Euler: Δ"
