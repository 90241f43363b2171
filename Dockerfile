# One image for every Airflow component, and for the sandbox. Runs as user airflow (50000), group 0.
FROM apache/airflow:3.3.2-python3.12
COPY --chown=airflow:0 requirements.txt /opt/retention/requirements.txt
RUN pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --no-cache --compile-bytecode --require-hashes -r /opt/retention/requirements.txt
WORKDIR /opt/retention
COPY --chown=airflow:0 dags /opt/retention/dags
COPY --chown=airflow:0 plugins /opt/retention/plugins
COPY --chown=airflow:0 include /opt/retention/include
COPY --chown=airflow:0 roles.json /opt/retention/roles.json
USER root
# Named volumes take over the owner of the folder they are first mounted on.
RUN install -d -o airflow -g 0 -m 0700 /opt/retention/keys \
    && install -d -o airflow -g 0 -m 0755 /opt/retention/exports /opt/retention/sandbox
USER airflow
ARG RETENTION_VERSION=dev
ENV PYTHONPATH=/opt/retention \
    RETENTION_VERSION=${RETENTION_VERSION} \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/retention/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/retention/plugins
