/** An error as a failed system call of the addon's gives it. */
export function systemError(code: string, syscall: string, message: string): Error {
  return Object.assign(new Error(message), { code, syscall });
}
