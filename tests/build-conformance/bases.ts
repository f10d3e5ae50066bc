/**
 * Images that the suite builds on, beside busybox itself.
 */
import type { BuildInput } from "./case.ts";

/** Has users, links to directories, and settings to inherit. */
const furnished = `FROM busybox
RUN echo 'app:x:1000:1001::/home/app:/bin/sh' >> /etc/passwd && echo 'app:x:1001:' >> /etc/group && echo 'more:x:2002:app' >> /etc/group
RUN mkdir -p /real/dir /full && ln -s /real /link && ln -s ../real/dir /usr/rel && ln -s /nowhere /dangling && \\
  mkdir -m 1777 /sticky && mkdir -m 700 /locked && chown 1000:1001 /locked && echo f > /afile && echo x > /full/x && ln -s /afile /alink
ENV BASE=b PATH=/custom:/bin:/usr/bin
LABEL base=yes over=base
EXPOSE 1
VOLUME /basevol
ENTRYPOINT ["/entry"]
CMD ["base-cmd"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
`;

/** By the names that Dockerfiles use. */
export const bases: Readonly<Record<string, BuildInput>> = {
  furnished: { dockerfile: furnished },
  trigger: {
    dockerfile: `FROM busybox
ONBUILD ARG GIVEN=none
ONBUILD RUN echo $GIVEN > /triggered
ONBUILD COPY f /onbuild/
ONBUILD ENV O=1
`,
  },
  workplace: { dockerfile: 'FROM busybox\nWORKDIR /work\nUSER 5:6\nSHELL ["/bin/sh", "-ec"]\n' },
};
