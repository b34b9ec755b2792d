/**
 * Names and descriptions: their length and characters.
 * Source: EC2 API Reference, CreateSecurityGroup, IpRange; the texts are those the API answers with.
 */
import { makeRefusal, type Refusal } from './refusals.ts';

/** The one name the API keeps for itself; compared without regard to case, as group names are. */
export const DEFAULT_GROUP_NAME = 'default';

const LENGTH_MAX = 255;
const CHARACTERS = /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]*$/;
const CHARACTERS_TEXT = 'a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*';

/** What AWS says against a group's name, or undefined. Blanks at its end don't count: AWS cuts them off. */
export function checkGroupName(text: string): Refusal | undefined {
  const name = trimBlanks(text);
  if (name === '') return refuse(text, 'the name of a security group must not be empty');
  if (name.startsWith('sg-')) {
    const message = `Value (${name}) for parameter GroupName is invalid. Group names may not be in the format sg-*.`;
    return refuse(text, message);
  }
  if (foldGroupName(name) === DEFAULT_GROUP_NAME)
    return makeRefusal('InvalidGroup.Reserved', `The security group '${name}' is reserved`);
  if (!isAscii(name)) return refuse(text, beyondAscii(name, 'GroupName'));
  if (isPlain(name)) return undefined;
  const message = `Invalid security group name. Valid names are strings less than 256 characters from the following set: ${CHARACTERS_TEXT}`;
  return refuse(text, message);
}

/** What AWS says against a group's description, or undefined. Whether one must be given is up to the caller. */
export function checkGroupDescription(text: string): Refusal | undefined {
  if (!isAscii(text)) return refuse(text, beyondAscii(text, 'GroupDescription'));
  if (isPlain(text)) return undefined;
  const message = `Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  ${CHARACTERS_TEXT}`;
  return refuse(text, message);
}

/** What AWS says against the description of a rule or of a prefix list's entry, or undefined. */
export function checkRuleDescription(text: string): Refusal | undefined {
  if (isPlain(text)) return undefined;
  const message = `Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: ${CHARACTERS_TEXT}`;
  return refuse(text, message);
}

/** AWS cuts off blanks at the end; a tab or another white space is a character that it does not take. */
export function trimBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === ' ') end--;
  return text.slice(0, end);
}

/** The same text for all spellings that are one name in a VPC: AWS compares names without regard to case. */
export function foldGroupName(name: string): string {
  return trimBlanks(name).toLowerCase();
}

/** What exactly is wrong with a text that one of the checks refused: its length, or its first bad character. */
export function explainText(text: string): string | undefined {
  const wrong = [...text].find((character) => !CHARACTERS.test(character));
  if (wrong !== undefined) return `the character ${JSON.stringify(wrong)} is not among them`;
  return text.length > LENGTH_MAX ? `it has ${text.length} characters` : undefined;
}

function refuse(text: string, message: string): Refusal {
  return makeRefusal('InvalidParameterValue', message, explainText(text));
}

function beyondAscii(text: string, parameter: string): string {
  return `Value (${text}) for parameter ${parameter} is invalid. Character sets beyond ASCII are not supported.`;
}

function isPlain(text: string): boolean {
  return text.length <= LENGTH_MAX && CHARACTERS.test(text);
}

function isAscii(text: string): boolean {
  return [...text].every((character) => character.charCodeAt(0) < 0x80);
}
