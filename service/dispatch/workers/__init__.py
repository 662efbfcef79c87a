"""Worker processes as the API process runs them: started, fed, watched, replaced, measured."""
