/**
 * The daemon's answers by a user's template, as docker shows them: with the types that they have in Go.
 */
import { messageOf } from "../base/errors.ts";
import {
  dockerFunctions,
  ExecError,
  execute,
  fromJson,
  pointerTo,
  type Template,
  Value,
} from "../gotemplate/index.ts";
import { type Answer, isAnswer, typedValue } from "../gotypes/index.ts";
import { ExitError } from "./command.ts";
import { asTemplateError, parseTemplate } from "./objects.ts";
import { out } from "./output.ts";

/** A user's template; "json" stands for one. One that cannot be read ends with docker's status for it. */
export function answerTemplate(format: string, words?: string, name?: string): Template {
  try {
    return parseTemplate(format === "json" ? "{{json .}}" : format, words, name);
  } catch (error) {
    throw new ExitError(64, messageOf(error));
  }
}

/** Writes an answer by a template as far as that goes, and ends the line. Throws what is wrong then. */
export function writeAnswer(
  template: Template,
  kind: Answer,
  json: unknown,
  arrange = (text: string) => text,
): void {
  try {
    const text = execute(template, typedValue(kind, json), { functions: dockerFunctions });
    out(arrange(`${text}\n`));
  } catch (error) {
    if (error instanceof ExecError) out(`${error.written}\n`);
    throw error;
  }
}

/** Throws if an empty answer cannot be written by a template. */
export function checkAnswer(template: Template, kind: Answer): void {
  const empty = typedValue(kind, {});
  // Docker tries it with a pointer, which shows in what it says.
  const pointer = new Value(pointerTo(empty.type), empty);
  execute(template, pointer, { functions: dockerFunctions });
}

/**
 * What writes objects that were looked into: an object's text by a template. What docker's type of it does not have is
 * looked for in the JSON that came, where there is some, and then a missing key is an error for the objects that follow too.
 * `onlyTyped`: it is not, as docker has none where it asks for volumes alone.
 */
export function inspector(
  format: string,
  onlyTyped = false,
): (kind: string, json: unknown) => string {
  const template = answerTemplate(format);
  const functions = dockerFunctions;
  let missingKeyIsError = false;
  const typed = (kind: Answer, json: unknown) =>
    `${execute(template, typedValue(kind, json), { functions, missingKeyIsError })}\n`;
  return (kind, json) => {
    if (kind === "context" || (onlyTyped && isAnswer(kind)))
      return asTemplateError(() => typed(kind, json));
    try {
      if (isAnswer(kind)) return typed(kind, json);
    } catch (error) {
      if (!(error instanceof ExecError)) throw error;
    }
    missingKeyIsError = true;
    const raw = fromJson(json, true);
    return asTemplateError(() => `${execute(template, raw, { functions, missingKeyIsError })}\n`);
  };
}
