/**
 * Go's text/template: a template's text in, what Go would write over a value out, with Go's words for errors.
 */
export { builtins } from "./builtins.ts";
export { dockerFunctions, dockerNames, headingFunctions } from "./docker.ts";
export { ExecError, execute, type Options } from "./execute.ts";
export { sprint, sprintf } from "./fmt.ts";
export { jsonString, toJson } from "./json.ts";
export { ParseError, parse, type Template } from "./parse.ts";
export { quote } from "./quote.ts";
export * from "./values.ts";
