stats data.'/fewer_limit.dat' using 1 nooutput
limit = STATS_max
stats data.'/fewer.dat' using 2 nooutput
last = STATS_records - 1
top = STATS_max > limit ? STATS_max : limit
set xrange [0:1.2 * top]; set yrange [last+0.7:-0.7]; set border 1; set ytics scale 0; unset key; set lmargin 18
set boxwidth 0.6
set xlabel "products per second"
set arrow from limit, graph 0 to limit, graph 1 nohead lt 2 dt 2
set label "reading floats" at limit, graph 1.04 center textcolor rgb ink
plot data.'/fewer.dat' using ($2/2):0:($2/2):(0.32):ytic(1) with boxxyerror lt 1, \
     '' using (1.19*top):0:(sprintf("%.0f", $2)) with labels right textcolor rgb ink
