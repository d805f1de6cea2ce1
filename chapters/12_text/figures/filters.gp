set terminal svg size 640,420 dynamic enhanced font "Helvetica,15" linewidth 1
set multiplot layout 2,3 margins 0.09,0.99,0.17,0.90 spacing 0.05,0.10
set boxwidth 0.8; set xrange [0.4:10.6]; set xtics 2; set grid noxtics; unset key
name(c) = c == 3 ? "top-k 4" : c == 4 ? "top-p 0.9" : "min-p 0.4"
do for [block=0:1] {
  do for [c=3:5] {
    if (block == 0) { set title name(c); set format x "" } else { unset title; set format x "%g" }
    if (block == 0) { set yrange [0:1]; set ytics 0.5 } else { set yrange [0:0.2]; set ytics 0.1 }
    if (c == 3) { set format y "%g" } else { set format y "" }
    if (block == 1 && c == 4) { set xlabel "token, the likeliest first" } else { unset xlabel }
    set style fill solid 0.85 noborder
    plot data.'/filters.dat' index block using 1:(column(c) == 1 ? $2 : 0) with boxes lt 1, \
         '' index block using 1:(column(c) == 1 ? 0 : $2) with boxes lt 1 fs transparent solid 0.25
  }
}
unset multiplot
