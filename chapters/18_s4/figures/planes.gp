set terminal svg size 700,250 dynamic enhanced font "Helvetica,14" linewidth 1
set multiplot layout 1,4 margins 0.01, 0.99, 0.02, 0.87 spacing 0.01
unset key
unset border
unset tics
unset grid
set size ratio -1
set parametric
set trange [0:2*pi]
f = data.'/planes.dat'
do for [k=0:3] {
  name = (k == 0 ? "ΔA" : k == 1 ? "Euler" : k == 2 ? "zero-order hold" : "bilinear")
  set label 1 name at graph 0.5, 1.07 center
  if (k < 2) {
    set xrange [-3.3:2.3]; set yrange [-3.3:3.3]
  } else {
    set xrange [-1.1:1.1]; set yrange [-1.3:1.3]
  }
  x = 2 * k + 1
  plot (k == 0 ? NaN : cos(t)), sin(t) with lines lc rgb grey lw 1.2, \
       for [i=0:4] f index i using x:x+1 with lines lc rgb grey lw 0.6, \
       for [i=5:13] f index i using x:x+1 with lines lt (1 + abs(i - 9)) lw 1.6
}
unset multiplot
