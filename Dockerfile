# The whole pipeline in one image, CPU and GPU.
#   docker build -t cpd .
#   docker run --rm -v "$PWD/out:/cpd/results" cpd                  the demo, tables in out/demo/tables
#   docker run --rm --gpus all --shm-size 16g -v "$PWD:/work" -w /work cpd snakemake --cores all     your checkout
# On a cluster: apptainer build cpd.sif apptainer.def (docs/cluster.md).
FROM python:3.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /cpd

# Packages first: this layer changes only with the lock. torch by itself, as in the Makefile.
COPY requirements.lock ./
RUN python -m pip install "$(grep '^torch==' requirements.lock)" \
 && python -m pip install -r requirements.lock

COPY . .
RUN python -m pip install --no-deps --no-build-isolation -e . \
 && python -m cpd --help > /dev/null \
 && useradd --create-home cpd && chown -R cpd /cpd
USER cpd
CMD ["snakemake", "--cores", "all", "--configfile", "config.demo.yaml"]
