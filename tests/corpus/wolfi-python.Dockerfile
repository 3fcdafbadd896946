FROM registry.example.com/chainguard/python:latest-dev@sha256:4c1de2fb29a2f643f838ddaf85c5958a4d498ef2bdb651be1bd7a543952ba9a1 AS dev
WORKDIR /flask-app
RUN python -m venv venv
ENV PATH="/flask-app/venv/bin:$PATH"
COPY requirements.txt requirements.txt
RUN pip install --no-cache-dir -r requirements.txt

FROM registry.example.com/chainguard/python:latest@sha256:cf2c6f94d0ec54e68a3502c2fcd50a737bf352d0f6bc21cc79d0a378aa69aa7a
WORKDIR /flask-app
COPY app.py app.py
COPY --from=dev /flask-app/venv /flask-app/venv
ENV PATH="/flask-app/venv/bin:$PATH"
EXPOSE 8000
USER 65532
ENTRYPOINT ["python", "-m", "gunicorn", "-b", "0.0.0.0:8000", "app:app"]
