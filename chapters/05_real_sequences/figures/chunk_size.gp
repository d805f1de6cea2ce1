stats data.'/chunk_size.dat' using 1:2 nooutput
fastest = STATS_pos_min_y
set logscale x 2; set logscale y 2; set xrange [1.7:1200]; set yrange [0.6:64]; set xtics (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
set key top center samplen 2
set xlabel "chunk size Q"; set ylabel "per token, multiple of the smallest"
set arrow 1 from fastest, 0.66 to fastest, 0.92 lc rgb ink lw 1.5
plot data.'/chunk_size.dat' using 1:2 with linespoints lt 1 pt 7 title "measured time", \
     '' using 1:3 with lines lt 2 title "counted multiply-adds"
