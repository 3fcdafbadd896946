# The shape of the images that build whoever inherits them: triggers of all kinds.
FROM node:18

RUN mkdir -p /usr/src/app
WORKDIR /usr/src/app

ONBUILD ARG NODE_ENV
ONBUILD ENV NODE_ENV $NODE_ENV
ONBUILD COPY package.json /usr/src/app/
ONBUILD RUN npm install && npm cache clean --force
ONBUILD RUN <<EOF
set -e
npm run lint
EOF
ONBUILD COPY . /usr/src/app
ONBUILD USER node

CMD [ "npm", "start" ]
