# The limits are drawn as well, wherever they lie, and there is room for the numbers beside the bars.
stats data.'/limit.dat' using 1 nooutput
limit = STATS_max / 1000
stats data.'/limit.dat' using 2 nooutput
peak = STATS_max / 1000
stats data.'/ladder.dat' using 2 nooutput
last = STATS_records - 1
top = STATS_max / 1000 > peak ? STATS_max / 1000 : peak
set xrange [0:1.25 * top]; set yrange [last+0.7:-0.7]; set border 1; set ytics scale 0; unset key; set lmargin 32
set boxwidth 0.6
set xlabel "thousand tokens per second"; set xtics 50
set arrow from limit, graph 0 to limit, graph 1 nohead lt 2 dt 2
set arrow from peak, graph 0 to peak, graph 1 nohead lt 3 dt 3
set label "its products alone  " at limit, graph 1.04 right textcolor rgb ink
set label "  product peak" at peak, graph 1.04 left textcolor rgb ink
plot data.'/ladder.dat' using ($2/2000):0:($2/2000):(0.32):ytic(1) with boxxyerror lt 1, \
     '' using (1.24*top):0:(sprintf("%.1f", $2/1000)) with labels right textcolor rgb ink
