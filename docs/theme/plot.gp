# What every plot of the book starts from. Ink follows the page's text; line types 1 to 6 follow its palette.
set terminal svg size 640,360 dynamic enhanced font "Helvetica,15" linewidth 1
set encoding utf8
ink = "#010203"; grey = "#808080"; paper = "#fefefe"
set linetype 1 lc rgb "#0a0b01" lw 2.2
set linetype 2 lc rgb "#0a0b02" lw 2.2
set linetype 3 lc rgb "#0a0b03" lw 2.2
set linetype 4 lc rgb "#0a0b04" lw 2.2
set linetype 5 lc rgb "#0a0b05" lw 2.2
set linetype 6 lc rgb "#0a0b06" lw 2.2
set border 3 lc rgb ink
set tics nomirror textcolor rgb ink
set grid lc rgb grey lw 0.4 dt 1
set xlabel textcolor rgb ink
set ylabel textcolor rgb ink
set title textcolor rgb ink
set key Left reverse samplen 2.5 textcolor rgb ink
set style fill solid 0.85 noborder
