set xlabel "steps of length 0.1 since the impulse"
set ylabel "what is left of it"
set xrange [0:80]
set yrange [0:1.12]
set ytics 0, 0.25, 1
unset key
set label 1 "A = 0" at 40, 1.05 textcolor lt 1
set label 2 "A = −0.1" at 58, 0.63 textcolor lt 2
set label 3 "A = −0.3" at 38, 0.40 textcolor lt 3
set label 4 "A = −1" at 16, 0.27 textcolor lt 4
set label 5 "A = −4" at 5.6, 0.16 textcolor lt 5
set arrow from 0, 0.5 to 80, 0.5 nohead lc rgb grey dt (6, 4)
set label 6 "half" at 79, 0.54 right textcolor rgb grey
plot data.'/decay.dat' using 1:2 with lines lt 1, '' using 1:3 with lines lt 2, '' using 1:4 with lines lt 3, \
     '' using 1:5 with lines lt 4, '' using 1:6 with lines lt 5
