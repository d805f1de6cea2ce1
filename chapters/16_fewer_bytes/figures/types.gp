stats data.'/types.dat' using 2 nooutput
last = STATS_records - 1
set xrange [0:150]; set yrange [-0.7:last+0.7]; set border 1; set ytics scale 0; unset key; set lmargin 30
set boxwidth 0.6
set xlabel "per cent of the limit"
set xtics 0, 20, 120
set arrow from 100, graph 0 to 100, graph 1 nohead lt 2 dt 2
set label "limit" at 100, graph 1.04 center textcolor rgb ink
plot data.'/types.dat' using (50*$2/$3):(last-$0):(50*$2/$3):(0.32):ytic(1) with boxxyerror lt 1, \
     '' using (125):(last-$0):(sprintf("%.0f / s", $2)) with labels left textcolor rgb ink
