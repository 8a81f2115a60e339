#!/bin/sh
# Every shipped program trained once: sh experiments/programs.sh BIN [OUT]
# BIN holds nesy-gedi, OUT the runs (runs/programs by default). Half an hour on two cores; two run at a time, one
# thread each; a row whose result exists is left alone.
set -eu
bin=${1:?folder of nesy-gedi} out=${2:-runs/programs}
mkdir -p "$out"

row() {
    [ -e "$out/$1/result.json" ] ||
        echo "train --program programs/$1.pl --examples $2 --out $out/$1 > $out/$1.log 2>&1"
}

{
    row addition 1000
    row labelled_addition 1000
    row multi_addition 500
    row subtraction 1000
    row product_modulo 800
    row parity 1000
    row less_than 1000
    row in_order 1000
    row all_different 400
    row sudoku 100
    row half 500
    row even_odd 1000
    row noisy_addition 1000
    row sum_of_many 500
} | OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE xargs -P 2 -I ROW sh -c "$bin/nesy-gedi ROW"
