// The environment. A variable that is missing stops the process by its name: a default would be another one on each replica.

export function required(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set.`);
    process.exit(1);
  }
  return value;
}

export const list = (name) => (process.env[name] ?? "").split(",").filter(Boolean);
