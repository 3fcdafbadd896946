FROM registry.example.com/playwright:v1.49.1-noble@sha256:272c62320d97339be7f28d8a09adb8a60727dbb19dd0727aa97b8d36dd4e6090 AS e2e
WORKDIR /e2e
COPY package.json package-lock.json ./
RUN npm ci
COPY playwright.config.ts ./
COPY tests ./tests
USER pwuser
CMD ["npx", "playwright", "test"]
