stats data.'/reading_limit.dat' using 1 nooutput
alone = STATS_max
stats data.'/reading_limit.dat' using 2 nooutput
together = STATS_max
stats data.'/reading.dat' using 2 nooutput
last = STATS_records - 1
top = STATS_max > together ? STATS_max : together
set xrange [0:1.2 * top]; set yrange [last+0.7:-0.7]; set border 1; set ytics scale 0; unset key; set lmargin 26
set boxwidth 0.6
set xlabel "products per second"; set xtics 200
set arrow from alone, graph 0 to alone, graph 1 nohead lt 2 dt 2
set arrow from together, graph 0 to together, graph 1 nohead lt 3 dt 3
set label "1 thread " at alone, graph 1.04 right textcolor rgb ink
set label " all" at together, graph 1.04 left textcolor rgb ink
plot data.'/reading.dat' using ($2/2):0:($2/2):(0.32):ytic(1) with boxxyerror lt 1, \
     '' using (1.19*top):0:(sprintf("%.0f", $2)) with labels right textcolor rgb ink
