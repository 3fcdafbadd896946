FROM registry.example.com/lambda/python:3.13@sha256:54a49ef0adbfd133624ff51fc14074ca6224e3a6b55c42b431e4c528b04b3f60 AS build
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt --target /deps

FROM registry.example.com/lambda/python:3.13@sha256:54a49ef0adbfd133624ff51fc14074ca6224e3a6b55c42b431e4c528b04b3f60
COPY --from=build /deps ${LAMBDA_TASK_ROOT}
COPY lambda_function.py ${LAMBDA_TASK_ROOT}/
USER 993
CMD [ "lambda_function.handler" ]
