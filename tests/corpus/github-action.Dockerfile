FROM node:22-alpine@sha256:22c1edb32d80d7d5460fa55063156af7fa5daa79bf932170a06e30c9d8fbb09f AS build
WORKDIR /action
COPY package.json package-lock.json ./
RUN npm ci
COPY src/ src/
RUN npx ncc build src/index.js -o dist

FROM node:22-alpine@sha256:22c1edb32d80d7d5460fa55063156af7fa5daa79bf932170a06e30c9d8fbb09f
LABEL com.github.actions.name="Check labels" \
      com.github.actions.description="Checks the labels of a pull request" \
      com.github.actions.icon="check" \
      com.github.actions.color="green"
COPY --from=build /action/dist /action/dist
USER 1000
ENTRYPOINT ["node", "/action/dist/index.js"]
