#!/bin/sh
# Everything that stands in docs/speed.md, written as JSON lines to a folder: sh benchmarks/all.sh benchmarks/results
# Peers that are not installed are left out. NETWORKS, ROUNDS and PEERS can be set to measure less.
set -e
out=${1:-benchmarks/results}
python=${PYTHON:-python}
networks=${NETWORKS:-embedded minilm deberta-v3-small deberta-v3-base modernbert}
peers=${PEERS-spacy-gliner-bfloat16,spacy-gliner-int8,gliner,gliner-sorted,gliner-onnx,gliner-openvino,gliner-openvino-f32,gliner-spacy,fast-gliner}
fresh_peers=${FRESH_PEERS-gliner,gliner-onnx,gliner-openvino,gliner-spacy,fast-gliner}
export TOKENIZERS_PARALLELISM=false
mkdir -p "$out"
for network in $networks; do
    measure="$python benchmarks/inference.py --network $network --peers $peers --rounds ${ROUNDS:-5}"
    measure="$measure --output $out/inference.jsonl"
    $measure --works short,paragraph,long --labels 5,25
    $measure --works very-long --labels 25
    $measure --works short --labels 100,500
    $measure --works short --labels 5 --mode single
done
$python benchmarks/startup.py --peers "$fresh_peers" --output "$out/startup.jsonl"
$python benchmarks/scaling.py --stream 20000 --output "$out/scaling.jsonl"
$python benchmarks/thresholds.py --output "$out/thresholds.jsonl"
