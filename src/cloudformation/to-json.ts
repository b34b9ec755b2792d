/** This file turns values into JSON text, for Fn::ToJsonString and for comparing lists. */
import { takeChars, type Scope } from './scope.ts';
import {
  makeInvalid,
  type InvalidValue,
  type UnknownValue,
  type Value,
  type Where,
} from './values.ts';

/** The value as JSON text, with everything in it evaluated. If a part has no value, the first such part. */
export function toJson(
  scope: Scope,
  value: Value,
  where: Where,
): string | UnknownValue | InvalidValue {
  switch (value.kind) {
    case 'text':
      return finish(
        scope,
        value.form === 'string' || !isJsonLiteral(value.text)
          ? JSON.stringify(value.text)
          : value.text,
        where,
      );
    case 'list': {
      const parts: string[] = [];
      for (const item of value.items) {
        const part = toJson(scope, item, where);
        if (typeof part !== 'string') return part;
        parts.push(part);
      }
      return finish(scope, `[${parts.join(',')}]`, where);
    }
    case 'map': {
      const parts: string[] = [];
      for (const entry of value.node.entries) {
        const item = scope.evaluate(entry.value);
        if (item.kind === 'absent') continue;
        const part = toJson(scope, item, where);
        if (typeof part !== 'string') return part;
        parts.push(`${JSON.stringify(entry.key)}:${part}`);
      }
      return finish(scope, `{${parts.join(',')}}`, where);
    }
    case 'absent':
      return 'null';
    case 'unknown':
    case 'invalid':
      return value;
    default:
      return value satisfies never;
  }
}

/** Numbers such as `0x10` and `.5` exist in YAML only. */
function isJsonLiteral(text: string): boolean {
  return /^(true|false|-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)$/.test(text);
}

function finish(scope: Scope, text: string, where: Where): string | InvalidValue {
  return takeChars(scope, text.length, where) ? text : makeInvalid(where);
}
