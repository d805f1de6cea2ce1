set terminal svg size 680,300 dynamic enhanced font "Helvetica,15" linewidth 1
set multiplot layout 1,2 margins 0.08, 0.985, 0.17, 0.96 spacing 0.09
set xlabel "lag"
set xrange [0:512]
set xtics 0, 125, 500
set xzeroaxis lc rgb grey
unset key
set ytics 0, 0.05
set label 1 "Lin" at graph 0.95, 0.93 right
plot data.'/learnt.dat' index 0 using 1:2 with lines lc rgb grey lw 1.2, '' index 0 using 1:3 with lines lt 3
set ytics -0.05, 0.01
set label 1 "Real"
plot data.'/learnt.dat' index 1 using 1:2 with lines lc rgb grey lw 1.2, '' index 1 using 1:3 with lines lt 4
unset multiplot
