# First version: the same image runs every Airflow component.
FROM apache/airflow:3.3.2-python3.12
COPY --chown=airflow:0 requirements.txt /opt/retention/requirements.txt
RUN pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --no-cache --compile-bytecode --require-hashes -r /opt/retention/requirements.txt
COPY --chown=airflow:0 dags /opt/retention/dags
COPY --chown=airflow:0 plugins /opt/retention/plugins
COPY --chown=airflow:0 include /opt/retention/include
COPY --chown=airflow:0 roles.json /opt/retention/roles.json
ENV PYTHONPATH=/opt/retention \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/retention/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/retention/plugins
