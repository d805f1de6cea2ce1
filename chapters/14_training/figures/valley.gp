set xrange [-3.3:0.6]; set yrange [-1.1:1.3]; set key bottom right samplen 2
set xlabel "the weight along the floor"; set ylabel "the weight across"
plot data.'/valley.dat' index 0 with linespoints lt 2 pt 7 ps 0.4 title "plain steps", \
     data.'/valley.dat' index 1 with linespoints lt 1 pt 7 ps 0.4 title "Adam", \
     '+' using (0):(0) every ::::0 with points lt 3 pt 2 ps 1.2 title "the lowest point"
