FROM registry.example.com/nvidia/tritonserver:24.12-py3@sha256:f477780b5bb213e4c398ad6950605532978ce5e36e8898156562c8c678e4b973
COPY --chown=1000:1000 models /models
USER 1000:1000
EXPOSE 8000-8002
CMD ["tritonserver", "--model-repository=/models", "--strict-model-config=true"]
