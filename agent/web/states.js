// What a state means, in words.

const words = {
  none: "Nothing runs yet: agent start begins.",
  starting: "It comes up.",
  idle: "It waits for a message.",
  working: "It works.",
  blocked: "It waits for an answer.",
  error: "Its last turn has failed.",
  hung: "It does not read its input.",
  exited: "It has ended: agent start begins anew.",
};

export const inWords = ({ state, detail }) => [words[state] ?? "", detail ?? ""].filter(Boolean).join(" ");
