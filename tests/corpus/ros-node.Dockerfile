FROM ros:jazzy-ros-base@sha256:620295db63250ac2eb5ba30f1c5f5a615d2ea97ff7adebfade06c287e62c2822 AS build
SHELL ["/bin/bash", "-eo", "pipefail", "-c"]
WORKDIR /ws
COPY src src
RUN apt-get update && rosdep install --from-paths src --ignore-src -y && rm -rf /var/lib/apt/lists/*
RUN source /opt/ros/jazzy/setup.bash && colcon build --merge-install --install-base /opt/robot

FROM ros:jazzy-ros-core@sha256:7dcf647328ad82d34b951c2189945addd839e56dbe70432b327de7c16af0daf5
COPY --from=build /opt/robot /opt/robot
COPY --chmod=0755 <<'EOF' /entrypoint.sh
#!/bin/bash
set -e
source /opt/robot/setup.bash
exec "$@"
EOF
RUN useradd -r -u 10001 robot
USER 10001
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "robot", "robot.launch.py"]
