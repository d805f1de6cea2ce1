set yrange [-1.2:2.35]; set xrange [-0.5:39.5]; set ytics (-1, 0, 1); set key top left horizontal maxrows 2 samplen 2 width 1
set xlabel "token"
plot data.'/latch.dat' using 1:4 with steps lt 3 lw 8 title "target", \
     '' using 1:5 with steps lt 1 title "selective model", \
     '' using 1:6 with lines lt 2 title "best constant model", \
     '' using 1:($3==0?$2:NaN) with points pt 6 ps 0.8 lc rgb ink title "value", \
     '' using 1:($3==1?$2:NaN) with points pt 7 ps 0.8 lc rgb ink title "marked"
