# SeaweedFS with a folder that its own user may write: the image's /data belongs to root.
ARG SEAWEEDFS_IMAGE=chrislusf/seaweedfs:4.48

FROM ${SEAWEEDFS_IMAGE}
RUN mkdir /store && chown 10003:10003 /store
USER 10003:10003
WORKDIR /store
VOLUME ["/store"]
EXPOSE 8333
ENTRYPOINT ["/usr/bin/weed"]
