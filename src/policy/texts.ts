/**
 * Names and descriptions: their length and characters.
 * Source: EC2 API Reference, CreateSecurityGroup, IpRange; the texts are those the API answers with.
 */

/** The one name the API keeps for itself; compared without regard to case, as group names are. */
export const DEFAULT_GROUP_NAME = 'default';

const LENGTH_MAX = 255;
const CHARACTERS = /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]*$/;
const CHARACTERS_TEXT = 'a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*';

/** The error about a group's name, or undefined. Blanks at its end don't count: AWS cuts them off. */
export function checkGroupName(text: string): string | undefined {
  const name = trimBlanks(text);
  if (name === '') return 'the name of a security group must not be empty';
  if (name.startsWith('sg-')) {
    return `Value (${name}) for parameter GroupName is invalid. Group names may not be in the format sg-*.`;
  }
  if (name.toLowerCase() === DEFAULT_GROUP_NAME) return `The security group '${name}' is reserved`;
  if (!isAscii(name))
    return `Value (${name}) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.`;
  if (!isPlain(name)) {
    return `Invalid security group name. Valid names are strings less than 256 characters from the following set: ${CHARACTERS_TEXT}`;
  }
  return undefined;
}

/** AWS cuts off blanks; a tab or another white space is a character it does not take. */
function trimBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === ' ') end--;
  return text.slice(0, end);
}

/** The error about a group's description, or undefined. Whether one must be given is up to the caller. */
export function checkGroupDescription(text: string): string | undefined {
  if (!isAscii(text)) {
    return `Value (${text}) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.`;
  }
  if (isPlain(text)) return undefined;
  return `Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  ${CHARACTERS_TEXT}`;
}

/** The error about the description of a rule or of a prefix list's entry, or undefined. */
export function checkRuleDescription(text: string): string | undefined {
  if (isPlain(text)) return undefined;
  return `Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: ${CHARACTERS_TEXT}`;
}

/** What exactly is wrong with a text that one of the checks refused: its length, or its first bad character. */
export function explainText(text: string): string | undefined {
  const wrong = [...text].find((character) => !CHARACTERS.test(character));
  if (wrong !== undefined) return `the character ${JSON.stringify(wrong)} is not among them`;
  return text.length > LENGTH_MAX ? `it has ${text.length} characters` : undefined;
}

function isPlain(text: string): boolean {
  return text.length <= LENGTH_MAX && CHARACTERS.test(text);
}

function isAscii(text: string): boolean {
  return [...text].every((character) => character.charCodeAt(0) < 0x80);
}
