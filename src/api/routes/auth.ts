/**
 * Checking credentials with a registry.
 */
import { ok, type Route } from "../route.ts";
import { authBody } from "../schemas.ts";

/** The routes. */
export const authRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/auth",
    async handle(context, { registry }) {
      const body = await context.json(authBody);
      const { identityToken } = await registry.login({
        username: body.username ?? "",
        password: body.password ?? "",
        identityToken: body.identitytoken ?? "",
        serverAddress: body.serveraddress ?? "",
      });
      return ok({ Status: "Login Succeeded", IdentityToken: identityToken });
    },
  },
];
