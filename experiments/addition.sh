#!/bin/sh
# The table of the README, row by row: sh experiments/addition.sh BIN DATA [OUT]
# BIN holds nesy-gedi, DATA full MNIST (DATA/MNIST/raw), OUT the runs (runs/table by default).
# About an hour on two cores; a row whose folder exists is left alone.
set -eu
bin=${1:?folder of nesy-gedi} data=${2:?folder of MNIST/raw} out=${3:-runs/table}

row() {
    name=$1
    shift
    [ -e "$out/$name/result.json" ] || "$bin/nesy-gedi" addition --out "$out/$name" "$@"
}

row combined-1000 --examples 1000 --seeds 10
row combined-100 --examples 100 --seeds 5
row combined-10000 --examples 10000 --seeds 3 --data-dir "$data"
row nesy-1000 --examples 1000 --variant nesy --seeds 3
row gedi-1000 --examples 1000 --variant gedi --seeds 3
row adam --examples 1000 --seeds 2 --set optimizer=adam --set naming.restarts=0
row no-inv --examples 1000 --seeds 2 --set method.weights.inv=0 --set naming.restarts=0
row entropy-prior --examples 1000 --seeds 2 --set method.prior_form=entropy --set naming.restarts=0
row no-naming --examples 1000 --seeds 2 --set naming.searches=0 --set naming.restarts=0
row paper-combined-1000 --examples 1000 --preset paper --width 32 --epochs 20
