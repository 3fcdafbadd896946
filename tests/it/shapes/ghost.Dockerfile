# The shape of a publishing platform's image: gosu in a chain, npm as another user, symbols in names.
FROM node:18-bookworm-slim

ENV GOSU_VERSION 1.17
ENV NODE_ENV production

ENV CLI_VERSION 1.25.3
RUN set -eux; \
	npm install -g "pub-cli@$CLI_VERSION"; \
	npm cache clean --force

ENV PUB_INSTALL /var/lib/pub
ENV PUB_CONTENT /var/lib/pub/content

ENV PUB_VERSION 5.80.2

RUN set -eux; \
	mkdir -p "$PUB_INSTALL"; \
	chown node:node "$PUB_INSTALL"; \
	\
	apt-get update; \
	aptPurge=(); \
	installCmd='gosu node pub install "$PUB_VERSION" --db mysql --dbhost mysql --no-prompt --no-stack --no-setup --dir "$PUB_INSTALL"'; \
	if ! eval "$installCmd"; then \
		aptPurge="$aptPurge python3"; \
		apt-get install -y --no-install-recommends python3 make g++; \
		eval "$installCmd"; \
	fi; \
	\
# Tell the server to listen on all ips and not prompt for additional configuration
	cd "$PUB_INSTALL"; \
	gosu node pub config --no-prompt --ip '::' --port 2368 --url 'http://localhost:2368'; \
	gosu node pub config paths.contentPath "$PUB_CONTENT"; \
	\
# make a config.json symlink for NODE_ENV=development (and sanity check that it's correct)
	gosu node ln -s config.production.json "$PUB_INSTALL/config.development.json"; \
	readlink -f "$PUB_INSTALL/config.development.json"; \
	\
# force install a few extra packages manually since they're "optional" dependencies
	cd "$PUB_INSTALL/current"; \
	packages="$(node -p ' \
		var pub = require("./package.json"); \
		var transform = require("./node_modules/@pub/image-transform/package.json"); \
		[ \
			"sharp@" + transform.optionalDependencies["sharp"], \
			"sqlite3@" + pub.optionalDependencies["sqlite3"], \
		].join(" ") \
	')"; \
	for package in $packages; do gosu node yarn add "$package" --force; done

WORKDIR $PUB_INSTALL
VOLUME $PUB_CONTENT

COPY docker-entrypoint.sh /usr/local/bin
ENTRYPOINT ["docker-entrypoint.sh"]

EXPOSE 2368
CMD ["node", "current/index.js"]
