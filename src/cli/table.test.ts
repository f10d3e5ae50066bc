import { expect, test } from "bun:test";
import { align, listText, type Row, terminalList } from "./table.ts";

const how = { format: "", headings: { Name: "NAME", Late: "LATE" }, table: "{{.Name}}" };

test("a field that takes time is worked out only for who shows it", () => {
  let asked = 0;
  const row: Row = {
    Name: "one",
    get Late() {
      asked++;
      return "l\u001bate";
    },
    Label: (name: unknown) => `label ${String(name)}`,
  };
  expect(listText([row], how)).toBe("NAME\none\n");
  expect(terminalList([row], how)).toBe("NAME\none\n");
  expect(listText([row], { ...how, format: '{{.Name}} {{.Label "x"}}' })).toBe("one label x\n");
  expect(asked).toBe(0);
  expect(listText([row], { ...how, format: "{{.Late}}" })).toBe("l\u001bate\n");
  expect(terminalList([row], { ...how, format: "{{.Late}}" })).not.toContain("\u001b");
  expect(asked).toBe(2);
});

test("columns are as wide as their letters, not as what these take in memory", () => {
  expect(align(["aé𝒳\tb", "c\td"], 1)).toBe("aé𝒳   b\nc     d\n");
});
