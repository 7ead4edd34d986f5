-- Who may sign in to the console.
SELECT 1;
