set style data histograms; set style histogram clustered gap 1; set boxwidth 0.9
set xlabel "token, the likeliest first"; set ylabel "probability"; set yrange [0:*]; set xtics 1
set key top right
plot data.'/temperature.dat' using 2:xtic(1) lt 1 title "temperature 0.5", '' using 3 lt 2 title "1, the model's own", '' using 4 lt 3 title "2"
