FROM maven:3.9-eclipse-temurin-17@sha256:f27c1f33425d74113badb9c7cbce2c6f5e836ae518f7567f975eae2346ca1f7f AS jar
WORKDIR /job
COPY pom.xml ./
RUN mvn -B -q dependency:go-offline
COPY src src
RUN mvn -B -q package

FROM apache/spark:3.5.3-scala2.12-java17-python3-ubuntu@sha256:f644395bac99ecabbae7510259fd127688ca3e2990389b50a3b8944cd531107c
COPY --from=jar /job/target/job.jar /opt/spark/work-dir/
USER 185
ENTRYPOINT ["/opt/entrypoint.sh"]
