set logscale xy; set xrange [12:400000]; set xtics ("16" 16, "256" 256, "4096" 4096, "65536" 65536); set key tmargin center horizontal samplen 2
set xlabel "length of the sequence"; set ylabel "microseconds per token"
set datafile missing "0"
plot data.'/length.dat' using 1:2 with linespoints lt 2 pt 7 title "recurrence", \
     '' using 1:3 with linespoints lt 3 pt 7 title "chunked, head by head", \
     '' using 1:4 with linespoints lt 1 pt 7 title "wide"
