FROM apache/airflow:slim-2.10.4-python3.12@sha256:468572f7be39a1955f054341f63d84c8f7f6d4119be4cec5f79ba2f133ae91e4
USER root
RUN apt-get update \
  && apt-get install -y --no-install-recommends libpq5 \
  && apt-get autoremove -yqq --purge \
  && apt-get clean \
  && rm -rf /var/lib/apt/lists/*
USER airflow
COPY --chown=airflow:root requirements.txt /
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" -r /requirements.txt
COPY --chown=airflow:root dags /opt/airflow/dags
